#!/bin/bash
test "$(kubectl get networkpolicy -A | wc -l)" -gt 1
