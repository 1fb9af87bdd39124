// Package pagerun does pages as a careful reader would: it runs their commands in one
// shell, watches what they do to the cluster, and judges what the pages promise of
// them by the rules of a lab's checks. It knows no provider by name and prints nothing.
package pagerun

import (
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// Target is the pages and the cluster that they are run on.
type Target struct {
	// Provider opens the cluster Spec.Name, or brings it up.
	Provider cluster.Provider
	Spec     cluster.Spec
	// Keep leaves the cluster and what the pages made. Without it what they made is
	// removed after each page, and a cluster that was brought up at the end.
	Keep bool

	Pages []page.Page
	// Files are what stands beside a page, by the page's place in Pages.
	Files [][]File
	// Together does all pages in one shell, with the files of the first: what one made is
	// there for the next.
	Together bool
	// Setup are objects that are applied before each page, and waited for.
	Setup []manifests.Object
	// From is the number of the first command that is run; 0 runs all.
	From int

	// Fill is what to put for what pages leave to their readers, by page.BlankKey.
	Fill map[string]string

	// Guard says why a request of the page is not let through to the cluster's API, beside
	// those that no page's is; "" when it is. nil lets all others through. What it refuses is
	// its own to tell: it is in no record. It may be called by several at a time.
	Guard func(Request) string

	// Start starts the shell that the commands are run in.
	Start func(Room) (Shell, error)
	// CommandTimeout is what a command may take, 0 means one minute. One that waits by
	// its own --timeout has that, too.
	CommandTimeout time.Duration
	// Wait lets denied commands without a timeout run until CommandTimeout.
	Wait bool

	Listener Listener
	Log      *slog.Logger // nil discards
}

// filesOf are what stands beside a page.
func (t Target) filesOf(i int) []File {
	if i < len(t.Files) {
		return t.Files[i]
	}
	return nil
}

// Request is what a page asks of the cluster's API.
type Request struct {
	Method string // of HTTP
	Path   string
	// What the path names; "" each where it names no object.
	Group, Resource, Namespace, Name string
	Sub                              string // what of the object, as "/scale"; "" is the object
	// Upgrade says that it wants a stream both ways: into a pod, or through it.
	Upgrade bool
	// Odd says that the path is spelled in another way than programs spell it.
	Odd bool
}

// Listener is told what happens, one at a time, in order.
type Listener interface {
	// Session is told of steps, objects and remarks.
	Session(event.Event)
	// Page comes before a page's first command, and Command after each.
	Page(page.Page)
	Command(file string, c record.PageCommand)
	// Later tells how claims of an earlier command that waited were judged in the end:
	// it is that command, with these claims alone.
	Later(file string, c record.PageCommand)
	// Finished comes last.
	Finished(p record.Pages, err error)
}

// File is a file of the work folder, by its slash-separated path below it.
type File struct {
	Name string
	Mode os.FileMode
	Data []byte
}

// Room is what a shell is given.
type Room struct {
	Files []File
	// Kubeconfig makes the file that kubectl reads, for the server's URL.
	Kubeconfig func(server string) []byte
}

// Shell is a bash with a terminal of its own.
type Shell interface {
	// API takes the connections to the kubeconfig's server, and Prefix is the path of
	// its URL. Close closes the listener.
	API() net.Listener
	Prefix() string
	// Terminal gives what the commands show, and after each of them Mark, until the
	// shell is closed.
	Terminal() *os.File
	// Second makes one more terminal: what it gives is what is shown there, and path is
	// what a command of the shell opens as its terminal. What has it goes on when Interrupt
	// ends the others. It is closed with the shell.
	Second() (terminal *os.File, path string, err error)
	// Run has the shell run a command. Its exit code comes on Ends, which is closed
	// when the shell ends.
	Run(text string) error
	Ends() <-chan int
	// Told gets, in words, what was ended because it took too much.
	Told() <-chan string
	// Interrupt and Kill end what runs in the shell, and not the shell.
	Interrupt() error
	Kill() error
	// Processes counts what runs in the shell; -1 when that is not known.
	Processes() int
	Close() error
}

// Mark is what a shell's terminal gives after what a command has shown.
const Mark = "\x1enetdojo end\x1e"

// Bounds of a command.
const (
	defaultTimeout = time.Minute
	endlessTime    = 5 * time.Second // for what does not end by itself
	besideTime     = 2 * time.Second // for what runs beside others, to begin
	interruptTime  = 3 * time.Second // to end after Ctrl-C, and again after SIGKILL
	maxShown       = 8 << 20         // bytes that a command may show
	keptShown      = 1 << 20         // of them that are looked at
	keptOutput     = 4 << 10         // of them that the record has
	maxLeft        = 150             // processes that a command may leave
)
