#include "client/cli/shell/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <fmt/format.h>

#include "client/cli/output.h"
#include "client/cli/shell/words.h"
#include "client/cli/terminal_text.h"
#include "config/files.h"

namespace loyal::cli {

namespace fs = std::filesystem;

namespace {

constexpr int history_lines_max = 1'000;
constexpr std::size_t candidates_shown_max = 100;

struct FileCloser {
    void operator()(std::FILE* file) const { (void)std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, FileCloser>;

// Bytes that the terminal sends are UTF-8 here, whatever the locale says.
void use_utf8() {
    if (std::setlocale(LC_CTYPE, "") == nullptr || std::strcmp(::nl_langinfo(CODESET), "UTF-8") != 0) {
        (void)std::setlocale(LC_CTYPE, "C.UTF-8");
    }
}

// The folder is made as private as the file.
bool prepare_folder(const fs::path& path) {
    std::error_code error;
    const fs::path folder = path.parent_path();
    if (fs::is_directory(folder, error)) {
        return true;
    }
    fs::create_directories(folder.parent_path(), error);
    return make_folder(folder, 0700).has_value();
}

// Characters as libedit counts them.
int characters_of(std::string_view text) {
    return static_cast<int>(std::count_if(text.begin(), text.end(),
                                          [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string in_columns(const std::vector<std::string>& words, std::size_t width) {
    std::size_t widest = 0;
    std::vector<std::string> shown;
    for (const std::string& word : words) {
        shown.push_back(shortened_to_columns(terminal_safe(word, Lines::escaped), width - 2));
        widest = std::max(widest, columns_of(shown.back()));
    }
    const std::size_t columns = std::max<std::size_t>(1, width / (widest + 2));
    std::string text;
    for (std::size_t i = 0; i < shown.size(); ++i) {
        const bool last = (i + 1) % columns == 0 || i + 1 == shown.size();
        text += shown[i];
        text += last ? "\n" : std::string(widest + 2 - columns_of(shown[i]), ' ');
    }
    return text;
}

}  // namespace

struct LineEditor::State {
    struct EditorEnd {
        void operator()(EditLine* ended) const { ::el_end(ended); }
    };
    struct HistoryEnd {
        void operator()(History* ended) const { ::history_end(ended); }
    };

    Completer completer;
    fs::path history_file;
    std::string prompt;
    bool interrupted = false;
    std::FILE* out = stdout;
    std::unique_ptr<History, HistoryEnd> history;
    std::unique_ptr<EditLine, EditorEnd> editor;

    static State& of(EditLine* editor) {
        void* state = nullptr;
        ::el_get(editor, EL_CLIENTDATA, &state);
        return *static_cast<State*>(state);
    }
    static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }
    static unsigned char on_interrupt(EditLine* editor, int /*key*/) {
        of(editor).interrupted = true;
        return CC_EOF;
    }
    static unsigned char on_tab(EditLine* editor, int /*key*/) { return of(editor).complete_word(); }

    unsigned char complete_word();
    void list(const Completion& completion) const;
    void load_history();
    void save_history();
};

unsigned char LineEditor::State::complete_word() {
    const LineInfo* info = ::el_line(editor.get());
    const std::string before(info->buffer, static_cast<std::size_t>(info->cursor - info->buffer));
    const Completion completion = completer(before);
    if (completion.candidates.empty()) {
        return CC_REFRESH_BEEP;
    }
    const bool only = completion.candidates.size() == 1 && !completion.more;
    const std::string typed = before.substr(completion.begin);
    const std::string common = common_beginning(completion.candidates);
    std::string text = common.empty() ? typed : quote_word(common);
    if (only && !common.ends_with('/')) {
        text += " ";
    }
    // Only what says more than what is there: a longer word, or the blank behind a whole one.
    const std::string had = typed_words(before).last;
    if (!common.starts_with(had) || (common == had && !only)) {
        list(completion);
        return CC_REDISPLAY;
    }
    ::el_deletestr(editor.get(), characters_of(typed));
    if (::el_insertstr(editor.get(), text.c_str()) != 0) {
        ::el_insertstr(editor.get(), typed.c_str());
        return CC_REFRESH_BEEP;
    }
    return CC_REFRESH;
}

void LineEditor::State::list(const Completion& completion) const {
    std::vector<std::string> words = completion.candidates;
    const bool cut = words.size() > candidates_shown_max;
    words.resize(std::min(words.size(), candidates_shown_max));
    std::string text = "\n" + in_columns(words, error_terminal_columns());
    if (cut || completion.more) {
        text += "…\n";
    }
    (void)std::fputs(text.c_str(), out);
    (void)std::fflush(out);
}

void LineEditor::State::load_history() {
    HistEvent event{};
    ::history(history.get(), &event, H_SETSIZE, history_lines_max);
    ::history(history.get(), &event, H_SETUNIQUE, 1);
    if (!history_file.empty() && prepare_folder(history_file)) {
        (void)::chmod(history_file.c_str(), 0600);  // one that somebody else made
        ::history(history.get(), &event, H_LOAD, history_file.c_str());
    }
}

// All or nothing: a shell that is killed meanwhile leaves the history before.
void LineEditor::State::save_history() {
    if (history_file.empty()) {
        return;
    }
    const std::string fresh = fmt::format("{}.{}", history_file.string(), ::getpid());
    const int descriptor = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    OpenFile file(descriptor < 0 ? nullptr : ::fdopen(descriptor, "w"));
    HistEvent event{};
    const bool written =
        file != nullptr && ::history(history.get(), &event, H_SAVE_FP, file.get()) >= 0 && std::fflush(file.get()) == 0;
    if (!written || ::rename(fresh.c_str(), history_file.c_str()) != 0) {
        (void)::unlink(fresh.c_str());
        history_file.clear();  // a shell without a history is still a shell
    }
}

LineEditor::LineEditor(std::unique_ptr<State> state) : state_(std::move(state)) {}

LineEditor::~LineEditor() = default;

Answer<std::unique_ptr<LineEditor>> LineEditor::open(fs::path history, Completer completer) {
    use_utf8();
    auto state = std::make_unique<State>();
    state->completer = std::move(completer);
    state->history_file = std::move(history);
    // A redirected standard output holds outputs and nothing else.
    state->out = output_is_terminal() ? stdout : stderr;
    state->history.reset(::history_init());
    state->editor.reset(::el_init("loyal", stdin, state->out, stderr));
    if (state->history == nullptr || state->editor == nullptr) {
        return refuse(Exit::internal, "system", "the line editor cannot be set up");
    }
    state->load_history();
    EditLine* editor = state->editor.get();
    ::el_set(editor, EL_CLIENTDATA, state.get());
    ::el_set(editor, EL_PROMPT, &State::show_prompt);
    ::el_set(editor, EL_EDITOR, "emacs");
    ::el_set(editor, EL_HIST, &::history, state->history.get());
    ::el_set(editor, EL_ADDFN, "loyal-complete", "Complete the word", &State::on_tab);
    ::el_set(editor, EL_ADDFN, "loyal-interrupt", "Give the line up", &State::on_interrupt);
    ::el_set(editor, EL_BIND, "^I", "loyal-complete", nullptr);
    ::el_set(editor, EL_BIND, "^C", "loyal-interrupt", nullptr);
    ::el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    // While a line is edited Ctrl-C is a key like others; while a command runs it is a signal.
    ::el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
    return std::unique_ptr<LineEditor>(new LineEditor(std::move(state)));
}

TypedLine LineEditor::read(const std::string& prompt) {
    state_->prompt = terminal_safe(prompt, Lines::escaped);
    state_->interrupted = false;
    // A command may have read to the end of what was typed for it.
    std::clearerr(stdin);
    std::cin.clear();
    // Before the prompt: libedit shows it first, and a Ctrl-C that comes in between would be a signal.
    ::el_set(state_->editor.get(), EL_PREP_TERM, 1);
    int count = 0;
    const char* line = ::el_gets(state_->editor.get(), &count);
    if (state_->interrupted || line == nullptr || count <= 0) {
        (void)std::fputs(state_->interrupted ? "^C\n" : "\n", state_->out);
        (void)std::fflush(state_->out);
        return {state_->interrupted ? TypedLine::End::interrupted : TypedLine::End::end_of_input, ""};
    }
    return {TypedLine::End::line, std::string(line, static_cast<std::size_t>(count))};
}

void LineEditor::remember(const std::string& line) {
    if (line.find_first_not_of(" \t\r\n") == std::string::npos || line.front() == ' ') {
        return;
    }
    HistEvent event{};
    ::history(state_->history.get(), &event, H_ENTER, line.c_str());
    state_->save_history();
}

fs::path history_path() {
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state != nullptr && *state == '/') {
        return fs::path(state) / "loyal" / "history";
    }
    const char* home = std::getenv("HOME");
    return home != nullptr && *home == '/' ? fs::path(home) / ".local" / "state" / "loyal" / "history" : fs::path();
}

}  // namespace loyal::cli
