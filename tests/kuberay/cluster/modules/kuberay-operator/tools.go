//go:build tools

// Package tools keeps the module of the KubeRay operator in go.mod.
package tools

import _ "github.com/ray-project/kuberay/ray-operator"
