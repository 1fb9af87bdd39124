//go:build !linux

package embedded

import (
	"context"
	"errors"
	"runtime"
)

var errLinux = elsewhere(runtime.GOOS)

type daemonProcess struct{ dir string }

func (d *daemonProcess) start(context.Context, Config) error           { return errLinux }
func (d *daemonProcess) waitReady(context.Context, func(string)) error { return errLinux }
func (d *daemonProcess) stop(context.Context) error                    { return nil }
func adopt(string) error                                               { return nil }
func lockFolder(context.Context, string) (func(), error)               { return nil, errLinux }
func running(string) bool                                              { return false }
func stopDaemon(context.Context, string, bool, func(string)) error     { return nil }
func (p *Provider) remove(context.Context, string) error               { return errors.ErrUnsupported }
