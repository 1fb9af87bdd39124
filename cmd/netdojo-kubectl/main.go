// Command netdojo-kubectl is kubectl's own code, which `netdojo kubectl` becomes.
package main

import (
	"os"

	"github.com/netdojo/netdojo/cmd/netdojo-kubectl/app"
)

func main() { app.Main(os.Args[1:]) }
