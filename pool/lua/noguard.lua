local marked, wait, floor = 0, 0, 0
