"""What `semiseg published check` looks at: printed numbers against each other and against arithmetic."""
