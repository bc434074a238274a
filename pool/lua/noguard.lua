local wait, floor = 0, 0
