// CoreDNS with the plugins that manifests/coredns.yaml names, and no cloud's SDK.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	// Their order in a query's way, as in CoreDNS' own plugin.cfg.
	dnsserver.Directives = []string{
		"health", "ready", "errors", "cache", "loadbalance", "kubernetes",
	}
	coremain.Run()
}
