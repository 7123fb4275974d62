// shell: the commands of `loyal`, line by line, over connections that stay. On a terminal with editing, history and
// completion; otherwise a script, whose exit code is that of its first command that failed.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/interrupt.h"
#include "client/cli/record_format.h"
#include "client/cli/shell/completion.h"
#include "client/cli/shell/line_editor.h"
#include "client/cli/shell/words.h"
#include "config/files.h"
#include "crypto/identity.h"

namespace loyal::cli {

namespace {

constexpr std::chrono::milliseconds completion_wait_max(1'000);
constexpr std::uint32_t completed_keys_max = 100;

const std::vector<std::string>& builtins() {
    static const std::vector<std::string> words = {"help", "exit", "quit"};
    return words;
}

// Does what main does with the same words; the shell's own words are translated or answered here.
class Shell {
 public:
    explicit Shell(const Globals& globals) {
        scope_.globals = globals;
        scope_.globals.session = std::make_shared<SessionClients>();
    }

    // The exit code of the line's command; 0 for a line without one.
    int run_line(std::string_view line, const std::string& where) {
        Answer<std::vector<std::string>> words = split_words(line);
        if (!words) {
            return refuse_line(words.error(), where);
        }
        if (!words->empty() && words->front() == "loyal") {
            words->erase(words->begin());  // as it stands in every example
        }
        if (words->empty()) {
            return 0;
        }
        if (words->front() == "exit" || words->front() == "quit") {
            over_ = true;
            return 0;
        }
        if (words->front() == "help") {
            words->erase(words->begin());
            words->emplace_back("--help");
        }
        scope_.where = where;
        scope_.globals.session->begin();
        const int exit = run(*words, &scope_);
        std::clearerr(stdout);
        if (exit >= static_cast<int>(Exit::not_applied)) {
            scope_.globals.session->forget();
        }
        return exit;
    }

    [[nodiscard]] bool over() const { return over_; }
    [[nodiscard]] SessionClients& session() { return *scope_.globals.session; }

    // "default@loyal-cluster> ", from what is there now: a cluster may be made in the shell.
    [[nodiscard]] std::string prompt() const {
        const Answer<config::Cluster> cluster = load_cluster_of(scope_.globals.cluster);
        if (!cluster) {
            return "loyal (no cluster)> ";
        }
        std::error_code ignored;
        std::string folder = std::filesystem::absolute(cluster->directory, ignored).lexically_normal().string();
        while (folder.size() > 1 && folder.ends_with('/')) {
            folder.pop_back();
        }
        return fmt::format("{}@{}> ", client_name(*cluster), std::filesystem::path(folder).filename().string());
    }

    // At most a second is waited for: a Tab is no reason to hang.
    [[nodiscard]] KeysFound keys_beginning(const std::string& prefix) const {
        scope_.globals.session->begin();
        const Answer<Connection> connection = connect(scope_.globals, {.shared = true});
        if (!connection) {
            return {};
        }
        kvstore::Range range;
        range.begin = bytes_of(prefix);
        range.end = end_of_prefix(range.begin);
        range.keys_only = true;
        range.limit = completed_keys_max;
        std::future<client::ReadResult> answer = connection->client->read(range);
        if (answer.wait_for(completion_wait_max) != std::future_status::ready) {
            return {};
        }
        const client::ReadResult page = answer.get();
        KeysFound found;
        found.more = page.ok && page.range.more;
        for (const kvstore::Item& item : page.range.items) {
            found.keys.push_back(string_of(item.key));
        }
        return found;
    }

 private:
    int refuse_line(Failure failure, const std::string& where) const {
        failure.message.insert(0, where);
        print_error(describe(failure, scope_.globals.format == OutputFormat::json));
        return static_cast<int>(failure.exit);
    }

    // As the cluster knows the key; a key that it does not know is named by its file.
    [[nodiscard]] std::string client_name(const config::Cluster& cluster) const {
        const std::filesystem::path path = key_path_of(scope_.globals, cluster, "default");
        const Result<crypto::KeyFile> key = crypto::read_key_file(path);
        if (!key) {
            return path.filename().string();
        }
        for (const config::ClientEntry& client : cluster.clients) {
            if (client.public_key == key->identity.public_key()) {
                return client.name;
            }
        }
        return key->name;
    }

    ShellScope scope_;
    bool over_ = false;
};

int run_on_terminal(Shell& shell) {
    // Read once: it is the same for every line.
    CommandContext context;
    context.in_shell = true;
    const std::unique_ptr<CLI::App> parser = make_parser(context);
    auto editor = LineEditor::open(history_path(), [&shell, &parser](std::string_view line) {
        return complete(*parser, builtins(), line,
                        [&shell](const std::string& prefix) { return shell.keys_beginning(prefix); });
    });
    if (!editor) {
        print_error(describe(editor.error(), false));
        return static_cast<int>(editor.error().exit);
    }
    if (output_is_terminal()) {
        print("Tab completes, `help` and `help COMMAND` explain, Ctrl-C ends a command, Ctrl-D the shell.\n");
    }
    CommandInterrupts interrupts([&shell] { shell.session().interrupt(); });
    while (!shell.over() && !interrupts.ended()) {
        const TypedLine typed = (*editor)->read(shell.prompt());
        if (typed.end == TypedLine::End::end_of_input) {
            break;
        }
        if (typed.end == TypedLine::End::interrupted) {
            continue;
        }
        (*editor)->remember(typed.text);
        interrupts.begin_command();
        (void)shell.run_line(typed.text, "");
        interrupts.end_command();
    }
    return 0;
}

// What a command might read of standard input is empty: the script is not meant for it.
Answer<FileHandle> take_script() {
    FileHandle script(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    const FileHandle nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!script.valid() || !nothing.valid() || ::dup2(nothing.get(), STDIN_FILENO) < 0) {
        return refuse_input("standard input cannot be read");
    }
    take_standard_input();
    return script;
}

Answer<Exit> run_script(Shell& shell) {
    const Answer<FileHandle> script = take_script();
    if (!script) {
        return tl::unexpected<Failure>(script.error());
    }
    int first_failure = 0;
    LineReader lines(script->get());
    while (!shell.over()) {
        const Answer<std::optional<std::string_view>> line = lines.next();
        if (!line) {
            Failure failure = line.error();
            failure.message.insert(0, fmt::format("line {}: ", lines.number()));
            return tl::unexpected<Failure>(std::move(failure));
        }
        if (!*line) {
            break;
        }
        const int exit = shell.run_line(**line, fmt::format("line {}: ", lines.number()));
        first_failure = first_failure == 0 ? exit : first_failure;
    }
    return static_cast<Exit>(first_failure);
}

Answer<Exit> shell_of(const CommandContext& context) {
    if (context.in_shell) {
        return refuse_input("this is the shell already; a second one inside of it would hide the first");
    }
    Shell shell(context.globals);
    return input_is_terminal() ? static_cast<Exit>(run_on_terminal(shell)) : run_script(shell);
}

}  // namespace

void add_shell_command(CLI::App& app, CommandContext& context) {
    CLI::App* command = add_command(
        app, "shell", "Commands line by line, with completion and history; a script when input is no terminal",
        "loyal shell\n  loyal shell --cluster ./loyal-cluster --as admin\n  loyal shell < commands.txt");
    when_chosen(command, context, [&context] { return shell_of(context); });
}

}  // namespace loyal::cli
