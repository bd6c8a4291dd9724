# sl_isa(<target> <NAME> ARCH <regex> FLAGS <flag>... SOURCES <file>...)
#
# Compile SOURCES with FLAGS and define SL_HAVE_<NAME>=1 for the whole target, or
# =0 where this machine or compiler cannot. The flags stay on these files: were
# they to reach any other, the compiler could use the instructions before the
# CPU has been checked.
include(CheckCCompilerFlag)

function(sl_isa target name)
  cmake_parse_arguments(ISA "" "ARCH" "FLAGS;SOURCES" ${ARGN})
  string(REPLACE ";" " " flags "${ISA_FLAGS}")
  set(have 0)
  if(NOT SL_SCALAR_ONLY AND CMAKE_SYSTEM_PROCESSOR MATCHES "${ISA_ARCH}")
    check_c_compiler_flag("${flags}" SL_CC_${name})
    if(SL_CC_${name})
      set(have 1)
      target_sources(${target} PRIVATE ${ISA_SOURCES})
      set_source_files_properties(${ISA_SOURCES} PROPERTIES COMPILE_OPTIONS "${ISA_FLAGS}")
    endif()
  endif()
  target_compile_definitions(${target} PUBLIC SL_HAVE_${name}=${have})
endfunction()
