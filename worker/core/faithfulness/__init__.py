"""How faithful a map is: the picture is changed where the map points, and the network is asked again."""
