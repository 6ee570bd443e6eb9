"""What happens to work when machines fail: killed processes, full disks, damaged files, lost ranks."""
