#!/usr/bin/env bash
# What a person types who follows the page on DNS-aware policies, in a terminal,
# with a stock kubectl and the kubeconfig that `netdojo up` merged.
BACKEND=$(kubectl get pods -l app=backend -o jsonpath='{.items[0].metadata.name}')
echo "backend: ${BACKEND}"

echo "before: kubernetes.io"
kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://kubernetes.io | head -1
echo "before: cilium.io"
kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://cilium.io | head -1

kubectl apply -f backend-egress-allow-fqdn.yaml
kubectl get cnp

echo "after: kubernetes.io"
kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://kubernetes.io | head -1
echo "after: cilium.io"
kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://cilium.io | head -1
echo "end"
