"""What is to be run: a sweep to passes, cells and trainings with keys, checked before anything is measured."""
