"""What only a real browser can show: the demo from the first visit to the members' page, and how every page of ours looks."""
