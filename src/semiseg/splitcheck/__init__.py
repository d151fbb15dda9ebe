"""What `semiseg check-split` looks at: facts of every case, pairs of scans, and what they mean for a split."""
