build/release/sluice:
	cmake --preset release && cmake --build --preset release
