"""Scale hyperpriors: as an estimate of the rate in training alone, or coded along with the latent."""
