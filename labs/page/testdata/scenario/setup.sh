echo prepared >~/ready
