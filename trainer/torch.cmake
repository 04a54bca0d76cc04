# libtorch as the imported library forerun_torch, where there is one: Debian's, or, in the folder
# FORERUN_TORCH, the package of pip. Torch's own CMake package stops where CUDA's is missing.
# FORERUN_TORCH_FOUND says whether there is one.
set(FORERUN_TORCH "" CACHE PATH "Folder with libtorch's include/ and lib/; empty: the system's")

function(forerun_find_torch)
  set(where "")
  if(FORERUN_TORCH)
    set(where PATHS ${FORERUN_TORCH} NO_DEFAULT_PATH)
  endif()
  find_path(FORERUN_TORCH_HEADERS ATen/ATen.h ${where} PATH_SUFFIXES include)
  set(libraries "")
  foreach(name torch torch_cpu c10)
    find_library(FORERUN_LIB_${name} ${name} ${where} PATH_SUFFIXES lib)
    list(APPEND libraries ${FORERUN_LIB_${name}})
  endforeach()
  if(NOT FORERUN_TORCH_HEADERS OR libraries MATCHES "NOTFOUND")
    set(FORERUN_TORCH_FOUND FALSE PARENT_SCOPE)
    return()
  endif()
  add_library(forerun_torch INTERFACE)
  target_include_directories(forerun_torch SYSTEM INTERFACE ${FORERUN_TORCH_HEADERS})
  # Their kernels register themselves; nothing but that may need the first of them.
  target_link_libraries(forerun_torch INTERFACE
    -Wl,--push-state,--no-as-needed ${libraries} -Wl,--pop-state ${CMAKE_DL_LIBS})
  set(FORERUN_TORCH_FOUND TRUE PARENT_SCOPE)
endfunction()
