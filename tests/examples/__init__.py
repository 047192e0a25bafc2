"""The example sites, tested as their users would use them; a place to copy from for the tests of a site of your own."""
