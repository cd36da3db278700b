"""hw_sim: software hardware-in-the-loop. The plant, the board and the line of a pump on one virtual clock."""
