# The engine as one library, and what `cmake --install` puts where:
#
#   include/sluice/*.h, include/sluice_policy.h     lib/libsluice, lib/libsluice_policy
#   lib/pkgconfig/sluice.pc, sluice-policy.pc       lib/cmake/sluice/ (find_package)
#   bin/sluice                                      share/sluice/sluice-tiny.gguf
#
# Static libraries, or with BUILD_SHARED_LIBS shared ones that export the public functions
# and nothing else (tests/install/test_install.py).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(parts base runtime kernels model spec engine)
list(TRANSFORM parts REPLACE "(.+)" "$<TARGET_OBJECTS:sluice_\\1>" OUTPUT_VARIABLE objects)
add_library(sluice_lib ${objects})
set_target_properties(sluice_lib PROPERTIES
  OUTPUT_NAME sluice
  EXPORT_NAME sluice
  LINKER_LANGUAGE C
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR})
target_include_directories(sluice_lib INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(sluice_lib PRIVATE sluice_policy PkgConfig::PCRE2 Threads::Threads m)
target_include_directories(sluice_policy INTERFACE
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
add_library(sluice::sluice ALIAS sluice_lib)

# The program finds its libraries beside itself, wherever the prefix is moved to.
file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(sluice sluice_lib PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib};$ORIGIN")

install(TARGETS sluice)
install(TARGETS sluice_lib sluice_policy EXPORT sluice_targets)
install(DIRECTORY include/sluice DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES models/sluice-tiny.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/sluice)

# ---- pkg-config: who links a static library needs what it needs ----
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(pc_libs)
set(needs "sluice-policy = ${PROJECT_VERSION}, libpcre2-8")
if(BUILD_SHARED_LIBS)
  set(pc_needs "Requires.private: ${needs}")
else()
  set(pc_needs "Requires: ${needs}")
  set(pc_libs "-pthread -lm")
endif()
configure_file(cmake/sluice.pc.in sluice.pc @ONLY)
configure_file(policy/sluice-policy.pc.in sluice-policy.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sluice.pc ${PROJECT_BINARY_DIR}/sluice-policy.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# ---- find_package(sluice): sluice::sluice and sluice::policy ----
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
install(EXPORT sluice_targets NAMESPACE sluice:: DESTINATION ${package_dir})
configure_package_config_file(cmake/sluice-config.cmake.in sluice-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(sluice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluice-config.cmake
              ${PROJECT_BINARY_DIR}/sluice-config-version.cmake DESTINATION ${package_dir})
