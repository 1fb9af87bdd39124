#!/bin/bash
kubectl create namespace vault
kubectl apply -n vault -f /root/pods.yaml
