//go:build tools

// Package faultproxy pins Toxiproxy and what it is built from.
package faultproxy

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
