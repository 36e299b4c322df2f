"""The ground: receives layers, rebuilds scenes from whatever came, publishes them. Imports `downlink` alone of Tianshu."""
