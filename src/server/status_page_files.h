#pragma once

#include <span>
#include <string_view>

namespace forerun {

// A file of src/server/status_page/, put into the program by cmake/embed_status_page.cmake.
struct StatusPageFile {
  std::string_view path;  // "/page.css"; "/" is index.html
  std::string_view content_type;
  std::string_view etag;  // with its quotes
  std::string_view content;
};

std::span<const StatusPageFile> status_page_files();

}  // namespace forerun
