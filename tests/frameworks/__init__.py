"""Every framework, server and client: the apps in the documents as they stand there, over real sockets."""
