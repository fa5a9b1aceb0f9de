"""What things cost, as ratios within one run: these machines are noisy, and a bare figure says nothing."""
