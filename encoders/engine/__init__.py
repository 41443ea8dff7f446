"""Networks on the CPU without torch: written as ONNX graphs, run by ONNX Runtime."""
