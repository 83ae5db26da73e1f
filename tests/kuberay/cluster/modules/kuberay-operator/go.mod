module user-tags.test/kuberay-operator

go 1.24.0

require github.com/ray-project/kuberay/ray-operator v1.5.0
