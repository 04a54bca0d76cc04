#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace forerun {

// Display columns of UTF-8 text, one per character.
inline size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

class TextTable final {
 public:
  void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  // Columns from `first_right` on are aligned to the right.
  std::string text(size_t first_right = SIZE_MAX) const {
    std::string lines;
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string padding(column_width(i) - width(row[i]), ' ');
        line += (i == 0 ? "  " : "   ") + (i >= first_right ? padding + row[i] : row[i] + padding);
      }
      lines += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return lines;
  }

 private:
  size_t column_width(size_t column) const {
    size_t widest = 0;
    for (const auto& row : rows_) {
      if (column < row.size()) widest = std::max(widest, width(row[column]));
    }
    return widest;
  }

  std::vector<std::vector<std::string>> rows_;
};

}  // namespace forerun
