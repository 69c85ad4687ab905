"""What the project promises of its speed, memory and accuracy, measured: `make bench`."""
