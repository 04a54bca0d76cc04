#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <memory>

#include "interruption.h"
#include "message_reader.h"

namespace forerun {
namespace {

constexpr int kHistoryLines = 1000;

// The library encodes what is typed by the locale, and a bare one knows ASCII only.
void know_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
}

// Waits for standard input. False when Ctrl-C ended the wait.
bool wait_for_input() {
  pollfd waiting[] = {{STDIN_FILENO, POLLIN, 0}, {interruption_descriptor(), POLLIN, 0}};
  // A failure is the window that changed, or the process that was stopped and goes on.
  while (poll(waiting, 2, /*timeout=*/-1) < 0) {
  }
  return waiting[1].revents == 0;
}

// One character of standard input: 1, 0 at its end, −1 on errors and when Ctrl-C ended the wait.
int read_character(EditLine*, wchar_t* character) {
  std::mbstate_t state{};
  while (true) {
    if (!wait_for_input()) return -1;
    char byte = 0;
    const ssize_t size = read(STDIN_FILENO, &byte, 1);
    if (size <= 0) return static_cast<int>(size);
    constexpr auto kIncomplete = static_cast<size_t>(-2);
    constexpr auto kInvalid = static_cast<size_t>(-1);
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used == kIncomplete) continue;
    if (used != kInvalid) return 1;
    *character = L'\uFFFD';
    return 1;
  }
}

class LineEditor final {
 public:
  LineEditor() : history_(history_init()), editor_(el_init("forerun", stdin, stdout, stderr)) {
    HistEvent event{};
    history(history_, &event, H_SETSIZE, kHistoryLines);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, prompt_of);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_SIGNAL, 1);
    el_set(editor_, EL_HIST, history, history_);
    el_set(editor_, EL_GETCFN, read_character);
  }
  ~LineEditor() {
    el_end(editor_);
    history_end(history_);
  }
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  Line read(const std::string& prompt) {
    prompt_ = prompt;
    clear_interruption();
    int size = 0;
    const char* typed = el_gets(editor_, &size);
    if (interruption() != 0) return end_of_line(Line::Kind::kInterrupted);
    if (typed == nullptr || size <= 0) return end_of_line(Line::Kind::kEnd);
    Line line{Line::Kind::kText, std::string(typed, static_cast<size_t>(size))};
    if (line.text.ends_with('\n')) line.text.pop_back();
    if (!line.text.empty()) {
      HistEvent event{};
      history(history_, &event, H_ENTER, line.text.c_str());
    }
    return line;
  }

 private:
  // The cursor still stands behind the prompt.
  static Line end_of_line(Line::Kind kind) {
    std::fputc('\n', stdout);
    std::fflush(stdout);
    return {kind, ""};
  }

  static char* prompt_of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<LineEditor*>(self)->prompt_.data();
  }

  History* history_;
  EditLine* editor_;
  std::string prompt_;
};

}  // namespace

LineSource terminal_lines() {
  know_utf8();
  return [editor = std::make_shared<LineEditor>()](const std::string& prompt) {
    return editor->read(prompt);
  };
}

}  // namespace forerun
