package controlplane

// EndAtOnce has an ordered end wait for nothing. It is to be called before Start.
func EndAtOnce() { clientsGrace, apiGrace = 0, 0 }
