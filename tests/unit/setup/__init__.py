"""What setup/ renders, reads and decides, before anything is started."""
