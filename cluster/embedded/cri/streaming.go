//go:build linux

package cri

import (
	"fmt"
	"net/url"

	"k8s.io/cri-streaming/pkg/streaming"
)

// newStreaming makes the server of exec, attach and port-forward, over SPDY
// and WebSocket. Its URLs hold a token that is good for one use.
func newStreaming(s *service, addr string) (streaming.Server, error) {
	config := streaming.DefaultConfig
	config.Addr = addr
	config.BaseURL = &url.URL{Scheme: "http", Host: addr}
	server, err := streaming.NewServer(config, streamRuntime{s})
	if err != nil {
		return nil, fmt.Errorf("make the streaming server: %w", err)
	}
	return server, nil
}
