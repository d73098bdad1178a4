"""Two correlated normals: closed kernels by tilting and recursion, and certified series."""
