package http

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// websocket is the only protocol that a connection may go on with.
const websocket = "websocket"

// checkResponse refuses a head that a client could read otherwise than the proxy.
func checkResponse(resp *http.Response) error {
	if resp.StatusCode < 100 || resp.StatusCode > 999 {
		return fmt.Errorf("the server answers with status %d", resp.StatusCode)
	}
	for name, values := range resp.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("the server sends a header with the name %q", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("the server sends the header %s with the value %q", name, v)
			}
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols && (!httpguts.HeaderValuesContainsToken(resp.Header["Connection"], "Upgrade") ||
		!strings.EqualFold(resp.Header.Get("Upgrade"), websocket)) {
		return errors.New("the server switches to a protocol that nobody asked for")
	}
	return nil
}

// putHead copies what of a response's head is meant for the client. It tells the
// length that the proxy reads the body by, where it knows one.
func putHead(h http.Header, resp *http.Response) {
	endToEnd(resp.Header)
	for name, values := range resp.Header {
		h[name] = values
	}
	switch {
	case resp.StatusCode < 200, resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
	case resp.ContentLength >= 0:
		h["Content-Length"] = []string{strconv.FormatInt(resp.ContentLength, 10)}
	}
}

// trails says whether a response may have that trailer.
func trails(name string) bool { return httpguts.ValidTrailerHeader(name) && !frames(name) }

// writeSwitch is the head that a connection leaves HTTP by.
func writeSwitch(w io.Writer, h http.Header) error {
	if _, err := io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+websocket+"\r\n"); err != nil {
		return err
	}
	if err := h.Write(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\r\n")
	return err
}
