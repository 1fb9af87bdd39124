#!/bin/bash
set -e
kubectl get networkpolicy deny -n vault >/dev/null || exit 1
! kubectl exec -n vault thief -- curl -s -m 3 http://keeper:8080
