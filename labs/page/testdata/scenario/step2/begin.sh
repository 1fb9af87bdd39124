echo one moment
