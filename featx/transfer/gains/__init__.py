"""What transfer is worth: accuracy with a source minus that of the best baseline, with a verdict."""
