"""Range coding with tables chosen by the causal neighbours."""
