test -f /root/ready
