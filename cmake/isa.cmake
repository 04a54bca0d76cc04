# Instruction-set flags. A source file named *_avx2.cc, *_avx512.cc, *_vnni.cc or *_amx.cc is
# compiled with that set's flags and nothing else is; the choice between them is made at run time
# (src/kernels/isa.h).
set(FORERUN_FLAGS_avx2 -mavx2 -mfma -mf16c -mprfchw)
set(FORERUN_FLAGS_avx512 ${FORERUN_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
    -mprefer-vector-width=512)
set(FORERUN_FLAGS_vnni ${FORERUN_FLAGS_avx512} -mavx512vnni)
set(FORERUN_FLAGS_bf16 ${FORERUN_FLAGS_vnni} -mavx512bf16)
set(FORERUN_FLAGS_amx ${FORERUN_FLAGS_bf16} -mamx-tile -mamx-int8 -mamx-bf16)

# GCC 12 calls the deliberately undefined pass-through operands of its own AVX-512 headers
# uninitialised (GCC bug 105593).
set(FORERUN_INTRINSICS_WARNINGS "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(FORERUN_INTRINSICS_WARNINGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

function(forerun_isa_flags)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_(avx2|avx512|vnni|bf16|amx)\\.cc$")
      set_source_files_properties(${source} PROPERTIES
        COMPILE_OPTIONS "${FORERUN_FLAGS_${CMAKE_MATCH_1}};${FORERUN_INTRINSICS_WARNINGS}"
        SKIP_PRECOMPILE_HEADERS ON)  # made with other flags
    endif()
  endforeach()
endfunction()
