echo the policy is not there
false
