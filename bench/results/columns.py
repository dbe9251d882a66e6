"""The columns of a run's ``cells.csv``: name, unit and meaning. ``splitbench columns`` prints them.

Those of the tables that are made from it are in :mod:`splitbench.bench.analysis.table_columns`.
"""

from typing import NamedTuple


class Column(NamedTuple):
    """A column; ``unit`` is empty for names and counts."""

    name: str
    unit: str
    meaning: str


def _columns(text: str) -> tuple[Column, ...]:
    rows = [[part.strip() for part in line.split("|")] for line in text.strip().splitlines()]
    return tuple(Column(*row) for row in rows)


COLUMNS = _columns("""
key                   |         | the cell's key: a hash of its settings, without batch, threads, device and versions
task                  |         | classification or detection
dataset               |         | the dataset's label in the sweep
fingerprint           |         | digest of the evaluation images' names, contents and labels
images                |         | evaluation images that the row's numbers are over
images_unreadable     |         | images left out because they could not be decoded (0 unless the sweep allows skipping)
backbone              |         | the pretrained model
weights               |         | digest of the weights' content
input                 |         | size of the network's input, and how images are resized to it
split                 |         | the split point; input: the image is sent, output: everything runs on the device
cut                   |         | shapes of the tensors that cross the split point, without the batch axis
split_by              |         | how the model was split: fx, module (parts kept whole), or empty where nothing is cut
method                |         | the family of codecs
variant               |         | the method's settings, the knob aside, that differ from their defaults
knob                  |         | the setting that moves the rate
value                 |         | the knob's value at this rate point
seed                  |         | the cell's random seed
status                |         | ok or failed
reason                |         | why a failed cell failed
warnings              |         | what may mislead about the row, in sentences; empty where nothing is known
bytes_mean            | bytes   | mean length of an image's bitstream, everything included
bytes_p50             | bytes   | median of the same
bytes_p95             | bytes   | 95th percentile of the same
bytes_max             | bytes   | longest bitstream
payload_bytes         | bytes   | mean per image: coded values
side_bytes            | bytes   | mean per image: side information (ranges, tables that change per image)
framing_bytes         | bytes   | mean per image: headers and lengths
bits_per_pixel        | bit     | per pixel of the network's input (classification) or of the original image (detection)
bits_per_element      | bit     | bits per element of the cut
ratio                 |         | size of the cut in float32 over bytes_mean
metric                |         | what accuracy is: top1 or ap
accuracy              | %       | accuracy of what was decoded from the counted bytes
accuracy_low          | %       | lower end of its 95 % interval: Wilson's; of ap by bootstrap over images
accuracy_high         | %       | upper end of its 95 % interval
drop                  | points  | accuracy of the uncompressed backbone on the same images, less this accuracy
drop_low              | points  | lower end of the drop's 95 % interval: Newcombe's for pairs; of ap by bootstrap
drop_high             | points  | upper end of the drop's 95 % interval (paired)
baseline              | %       | accuracy of the uncompressed backbone on the same images
top5                  | %       | share of images whose label is among the five highest scores
top5_baseline         | %       | the same for the uncompressed backbone
ap                    | %       | COCO's average precision of boxes, over overlaps of 0.5 to 0.95
ap50                  | %       | the same at an overlap of 0.5
ap75                  | %       | the same at an overlap of 0.75
ap_small              | %       | ap of objects below 32 x 32 pixels; empty where there are none
ap_medium             | %       | ap of objects from 32 x 32 to 96 x 96 pixels
ap_large              | %       | ap of objects above 96 x 96 pixels
ar1                   | %       | COCO's average recall with one detection per image and category
ar10                  | %       | the same with 10 detections
ar100                 | %       | the same with 100 detections
ar_small              | %       | ar100 of objects below 32 x 32 pixels
ar_medium             | %       | ar100 of objects from 32 x 32 to 96 x 96 pixels
ar_large              | %       | ar100 of objects above 96 x 96 pixels
macs_head             | MAC     | multiply-adds of the head for one image
macs_encoder          | MAC     | multiply-adds of the encoder
macs_decoder          | MAC     | multiply-adds of the decoder
macs_tail             | MAC     | multiply-adds of the tail
storage_device_bytes  | bytes   | weights and tables on the device for all rate points of the method in the run
storage_server_bytes  | bytes   | the same on the server
switch_device_bytes   | bytes   | to be loaded on the device to go from one rate point to another (mean over all pairs)
switch_server_bytes   | bytes   | the same on the server
storage_device_packed_bytes | bytes | storage_device_bytes with float32 tensors that hold only float16 values as such
storage_server_packed_bytes | bytes | the same of storage_server_bytes
switch_device_packed_bytes  | bytes | the same of switch_device_bytes
switch_server_packed_bytes  | bytes | the same of switch_server_bytes
switch_ms             | ms      | measured time to copy what a switch loads from host memory into place, both sides
switch_mbps_1         | Mbit/s  | bandwidth that loading both sides takes at 1 switch per second
switch_mbps_10        | Mbit/s  | the same at 10 switches per second
switch_mbps_30        | Mbit/s  | the same at 30 switches per second
training              |         | key of the training behind this rate point; rows that share one were trained once
train_macs            | MAC     | multiply-adds of training this rate point, without those of choosing the best epoch
train_images          |         | images seen in training, repetitions counted
train_seconds         | s       | time spent in training
head_ms               | ms      | median time of the head, batch 1
encode_ms             | ms      | median time to encode one image, all layers of a layered stream
decode_ms             | ms      | median time to decode one image
tail_ms               | ms      | median time of the tail, batch 1
device                |         | cpu, or the accelerator's name
precision             |         | arithmetic of the network: float32, bfloat16 or float16
batch                 |         | images per batch; fewer than the sweep says where memory ran out
image_decoder         |         | library that decoded the images
seconds               | s       | time of the pass that evaluated this cell, shared by all cells of the pass
fixed_seconds         | s       | of these, what does not grow with images: fitting tables, measuring times and costs
versions              |         | versions of the libraries that can change results
commit                |         | git commit of splitbench, with + where the tree had changes
date                  |         | when the cell was evaluated, UTC
""")

NAMES = tuple(column.name for column in COLUMNS)
