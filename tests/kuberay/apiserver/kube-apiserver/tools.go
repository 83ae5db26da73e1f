//go:build tools

// Package tools keeps the module of kube-apiserver in go.mod.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
