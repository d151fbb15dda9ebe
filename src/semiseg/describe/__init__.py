"""Front pages for `semiseg describe`: one file per kind of thing; each page is a list of blocks for the terminal."""
