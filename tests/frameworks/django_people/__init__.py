"""The Django site's own users: a name is all there is of them."""
