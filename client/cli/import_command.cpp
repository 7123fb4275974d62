// import: records into the store. A file is read and checked once as a whole before its first record is sent, so that a
// bad line is found while nothing has happened yet. A pipe is sent as it comes; at a bad line it ends, and the error
// says how many records before it were imported. With --resume a small file says how far the import of a file has come
// (client/cli/import_state.h).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/choice.h"
#include "client/cli/command.h"
#include "client/cli/import_state.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/cli/record_format.h"
#include "client/cli/transfer_progress.h"
#include "client/cli/write_pipeline.h"
#include "config/files.h"

namespace loyal::cli {

namespace {

constexpr std::uint64_t import_timeout_ms = 30'000;  // of one record; long enough for several changes of primary
constexpr std::chrono::milliseconds state_interval(250);
// How long an interrupted import waits for the answers that are still to come.
constexpr std::chrono::seconds interrupted_wait(2);

struct ImportOptions {
    std::string path;
    std::optional<RecordFormat> format;
    std::string resume;  // the state file; empty: none
};

struct Input {
    FileHandle file;
    int descriptor = STDIN_FILENO;
    std::string name = "standard input";
    std::optional<std::uint64_t> size;     // of a file
    std::optional<std::uint64_t> records;  // of a file, from `begin` on: all of them were checked
    std::optional<RecordFormat> format;
    std::uint64_t begin = 0;       // what is before it is stored already
    std::uint64_t begin_line = 0;  // so many lines
};

Failure at_line(const Failure& failure, const std::string& name, std::uint64_t line) {
    Failure located = failure;
    located.message = fmt::format("{}, line {}: {}", name, line, failure.message);
    return located;
}

// Next record, or nothing at the end. The first line decides on the format if nothing did before.
Answer<std::optional<Record>> next_record(LineReader& lines, Input& input) {
    const Answer<std::optional<std::string_view>> line = lines.next();
    if (!line) {
        return tl::unexpected<Failure>(at_line(line.error(), input.name, lines.number()));
    }
    if (!*line) {
        return std::optional<Record>();
    }
    if (!input.format) {
        input.format = detect_format(input.name, **line);
    }
    Answer<Record> record = read_record(**line, *input.format);
    // A JSON object that is cut is none; a TSV line that is cut is one with a shorter value.
    if (record && !lines.terminated() && *input.format == RecordFormat::tsv) {
        record = refuse_input("the line does not end with a newline, so it may be cut short; add one if it is whole");
    }
    if (!record) {
        return tl::unexpected<Failure>(at_line(record.error(), input.name, lines.number()));
    }
    return std::optional<Record>(std::move(*record));
}

bool stand_at(const Input& input, std::uint64_t offset) {
    return ::lseek(input.descriptor, static_cast<off_t>(offset), SEEK_SET) >= 0;
}

// Reads the rest of a file, counts its records and goes back to where it began.
Answer<void> check_all(Input& input) {
    LineReader lines(input.descriptor, input.begin, input.begin_line);
    ProgressLine progress;
    std::uint64_t records = 0;
    for (;;) {
        const Answer<std::optional<Record>> record = next_record(lines, input);
        if (!record) {
            Failure failure = record.error();
            failure.message +=
                input.begin == 0
                    ? "; nothing was sent, 0 records were stored: correct the line and import again"
                    : fmt::format(
                          "; nothing more was sent, the {} lines before were stored: correct the line and run the "
                          "same command again",
                          input.begin_line);
            return tl::unexpected<Failure>(std::move(failure));
        }
        if (!*record) {
            break;
        }
        ++records;
        if (progress.due() && input.size) {
            progress.show("checking " +
                          ProgressLine::bar(static_cast<double>(lines.offset()) / static_cast<double>(*input.size)));
        }
    }
    if (!stand_at(input, input.begin)) {
        return refuse(Exit::internal, "io", fmt::format("{}: {}", input.name, std::strerror(errno)));
    }
    input.records = records;
    return {};
}

Answer<Input> open_input(const ImportOptions& options) {
    Input input;
    input.format = options.format;
    if (options.path == "-") {
        if (const Answer<void> free = check_standard_input(); !free) {
            return tl::unexpected<Failure>(free.error());
        }
    } else {
        input.name = options.path;
        input.file = FileHandle(::open(options.path.c_str(), O_RDONLY | O_CLOEXEC));
        input.descriptor = input.file.get();
    }
    struct stat status {};
    if (input.descriptor < 0 || ::fstat(input.descriptor, &status) != 0) {
        return refuse_input(fmt::format("{} cannot be opened: {}", input.name, std::strerror(errno)));
    }
    if (S_ISDIR(status.st_mode)) {
        return refuse_input(input.name + " is a folder");
    }
    if (S_ISREG(status.st_mode)) {
        const off_t at = ::lseek(input.descriptor, 0, SEEK_CUR);
        if (at < 0) {
            return refuse(Exit::internal, "io", fmt::format("{}: {}", input.name, std::strerror(errno)));
        }
        input.begin = static_cast<std::uint64_t>(at);
        input.size = static_cast<std::uint64_t>(status.st_size);
    } else if (!options.resume.empty()) {
        return refuse_input(fmt::format("--resume needs a file; {} is none", input.name));
    }
    return input;
}

// The state file of one import, and what is stored but not yet in it.
class Resumption {
 public:
    Resumption(std::string path, const Input& input, std::string cluster_id)
        : path_(std::move(path)), digest_(input.descriptor) {
        state_.cluster_id = std::move(cluster_id);
        state_.input = input.name;
        descriptor_ = input.descriptor;
    }

    // Goes on where the state says, if there is one: `input` then begins there. Exit 2 when it is of another cluster or
    // of another file.
    [[nodiscard]] Answer<void> take_up(Input& input, const std::optional<RecordFormat>& format_given);
    void submitted(std::uint64_t line, std::uint64_t offset) { submitted_.push_back({line, offset}); }
    [[nodiscard]] bool due() const { return std::chrono::steady_clock::now() - written_ >= state_interval; }
    // All lines below `done_below` are stored.
    [[nodiscard]] Answer<void> write(std::uint64_t done_below, RecordFormat format);
    // Everything is stored: there is nothing to go on with.
    void remove() const { (void)::unlink(path_.c_str()); }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::uint64_t line() const { return state_.line; }

 private:
    struct Submitted {
        std::uint64_t line = 0;
        std::uint64_t offset = 0;  // behind it
    };
    std::string path_;
    int descriptor_ = -1;
    ImportState state_;
    InputDigest digest_;
    std::deque<Submitted> submitted_;
    std::chrono::steady_clock::time_point written_ = std::chrono::steady_clock::now();
};

Answer<void> Resumption::take_up(Input& input, const std::optional<RecordFormat>& format_given) {
    const Answer<std::optional<ImportState>> found = read_import_state(path_);
    if (!found) {
        return tl::unexpected<Failure>(found.error());
    }
    if (!*found) {
        return {};
    }
    const ImportState& state = **found;
    const auto differs = [&](const std::string& how) {
        return refuse_input(
            fmt::format("{} is the state of another import: {}; name another file for --resume, or remove "
                        "this one to begin anew",
                        path_, how));
    };
    if (state.cluster_id != state_.cluster_id) {
        return differs("it went into another cluster");
    }
    if (format_given && *format_given != state.format) {
        return differs("its records are of the other format");
    }
    const Answer<void> read = digest_.advance_to(state.offset);
    if (!read || digest_.digest() != state.prefix) {
        return differs(fmt::format("of {} ({} bytes then, {} now) the first {} bytes are not those that were stored",
                                   state.input, state.size, input.size.value_or(0), state.offset));
    }
    input.begin = state.offset;
    input.begin_line = state.line;
    input.format = state.format;
    state_.offset = state.offset;
    state_.line = state.line;
    if (!stand_at(input, input.begin)) {
        return refuse(Exit::internal, "io", fmt::format("{}: {}", input.name, std::strerror(errno)));
    }
    return {};
}

Answer<void> Resumption::write(std::uint64_t done_below, RecordFormat format) {
    written_ = std::chrono::steady_clock::now();
    for (; !submitted_.empty() && submitted_.front().line < done_below; submitted_.pop_front()) {
        state_.line = submitted_.front().line;
        state_.offset = submitted_.front().offset;
    }
    if (const Answer<void> read = digest_.advance_to(state_.offset); !read) {
        return read;
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) == 0) {
        state_.size = static_cast<std::uint64_t>(status.st_size);
        state_.modified_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
    }
    state_.format = format;
    state_.prefix = digest_.digest();
    return write_import_state(path_, state_);
}

struct Sent {
    PipelineSummary summary;
    std::optional<Failure> bad_line;
    std::optional<Failure> no_state;  // the state file could not be written
    bool interrupted = false;
    double seconds = 0.0;
};

// One run: from the first record that is not stored yet to the last one, or to what stops it.
class Sender {
 public:
    Sender(Input& input, client::Client& client, Resumption* resumption)
        : input_(input),
          client_(client),
          resumption_(resumption),
          stop_(catch_interrupt(SecondInterrupt::ends_program)),
          pipeline_(client),
          lines_(input.descriptor, input.begin, input.begin_line) {
        pipeline_.stop_when(stop_);
        lines_.stop_when(stop_);
    }

    Sent send() {
        while (!stop_ && send_next()) {
            if (progress_.due()) {
                progress_.show(transfer_text(progress_now()));
            }
            if (resumption_ != nullptr && resumption_->due()) {
                store_state();
            }
        }
        sent_.interrupted = stop_;
        if (stop_ && !pipeline_.settle(interrupted_wait)) {
            client_.close();  // what is still under way is answered now
        }
        sent_.summary = pipeline_.finish();
        store_state();
        sent_.seconds = elapsed();
        return std::move(sent_);
    }

 private:
    // False at the end, whatever the reason.
    bool send_next() {
        Answer<std::optional<Record>> record = next_record(lines_, input_);
        if (!record) {
            sent_.bad_line = record.error();
            return false;
        }
        if (!*record || sent_.no_state) {
            return false;
        }
        const std::uint64_t line = lines_.number();
        if (!pipeline_.submit(kvstore::Put{std::move((*record)->key), std::move((*record)->value)}, line)) {
            return false;
        }
        if (resumption_ != nullptr) {
            resumption_->submitted(line, lines_.offset());
        }
        return true;
    }

    void store_state() {
        if (resumption_ == nullptr || sent_.no_state) {
            return;
        }
        const Answer<void> written =
            resumption_->write(pipeline_.done_below(), input_.format.value_or(RecordFormat::tsv));
        if (!written) {
            sent_.no_state = written.error();
        }
    }

    [[nodiscard]] TransferProgress progress_now() const {
        TransferProgress now;
        now.records = pipeline_.answered();
        now.bytes = lines_.offset() - input_.begin;
        now.done = lines_.offset();
        now.done_before = input_.begin;
        now.all = input_.size;
        now.seconds = elapsed();
        return now;
    }

    [[nodiscard]] double elapsed() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

    Input& input_;
    client::Client& client_;
    Resumption* resumption_;
    const std::atomic<bool>& stop_;
    Sent sent_;
    WritePipeline pipeline_;
    LineReader lines_;
    ProgressLine progress_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// How to go on after what stopped the import.
std::string remedy(const Resumption* resumption) {
    if (resumption == nullptr) {
        return "The same import may simply be run again.";
    }
    return fmt::format("Lines 1 to {} are stored; run the same command again to go on behind them.",
                       resumption->line());
}

// What ended the import before the input did, if anything.
std::optional<Failure> failure_in(const Sent& sent, const Input& input, const Resumption* resumption) {
    const PipelineSummary& summary = sent.summary;
    if (summary.failure && !sent.interrupted) {
        Failure failure = *summary.failure;
        failure.message =
            fmt::format("{} records were imported, {} may have been; the first that failed is line {}: {} {}",
                        summary.done, summary.unknown, summary.failed_tag, failure.message, remedy(resumption));
        return failure;
    }
    if (sent.interrupted) {
        return Failure{Exit::negative, "interrupted",
                       fmt::format("interrupted: {} records were imported, {} may have been. {}", summary.done,
                                   summary.unknown, remedy(resumption))};
    }
    if (sent.bad_line) {
        Failure failure = *sent.bad_line;
        failure.message += fmt::format(
            "; the {} records before it were imported, nothing after it: correct the line and import from "
            "there on, or the whole again",
            summary.done);
        return failure;
    }
    if (sent.no_state) {
        Failure failure = *sent.no_state;
        failure.message += fmt::format("; {} records were imported, and the import stopped there", summary.done);
        return failure;
    }
    if (input.records && *input.records != summary.done) {
        return Failure{Exit::usage, "bad_input",
                       fmt::format("{} changed while it was read: {} of {} records were imported", input.name,
                                   summary.done, *input.records)};
    }
    return std::nullopt;
}

Answer<Exit> import_records(const Globals& globals, const ImportOptions& options) {
    Answer<Input> input = open_input(options);
    if (!input) {
        return tl::unexpected<Failure>(std::move(input.error()));
    }
    Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
    if (!cluster && !options.resume.empty()) {
        return tl::unexpected<Failure>(std::move(cluster.error()));
    }
    std::optional<Resumption> resumption;
    if (!options.resume.empty()) {
        resumption.emplace(options.resume, *input, cluster->cluster_id.hex());
        if (const Answer<void> taken = resumption->take_up(*input, options.format); !taken) {
            return tl::unexpected<Failure>(taken.error());
        }
    }
    if (input->size) {
        if (const Answer<void> checked = check_all(*input); !checked) {
            return tl::unexpected<Failure>(checked.error());
        }
    }
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "default", .timeout_ms = import_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Sent sent = Sender(*input, *connection->client, resumption ? &*resumption : nullptr).send();
    if (std::optional<Failure> failure = failure_in(sent, *input, resumption ? &*resumption : nullptr)) {
        return tl::unexpected<Failure>(std::move(*failure));
    }
    if (resumption) {
        resumption->remove();
    }
    const std::uint64_t done = sent.summary.done;
    const double rate = sent.seconds > 0.0 ? static_cast<double>(done) / sent.seconds : 0.0;
    if (globals.format == OutputFormat::json) {
        nlohmann::ordered_json document = {{"records", done}, {"seconds", sent.seconds}, {"records_per_s", rate}};
        if (resumption) {
            document["resumed_after_line"] = input->begin_line;
        }
        print_json(document);
        return Exit::done;
    }
    print(fmt::format("{} records imported in {:.2f} s, {:.0f} per second{}\n", done, sent.seconds, rate,
                      input->begin_line == 0 ? "" : fmt::format(", behind line {}", input->begin_line)));
    return Exit::done;
}

}  // namespace

void add_import_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<ImportOptions>();
    CLI::App* command = add_command(app, "import", "Put every record of a TSV or JSON-lines file",
                                    "loyal import packages.tsv\n  dpkg-query -W | loyal import -\n"
                                    "  loyal import large.jsonl --resume large.state");
    command->add_option("file", options->path, "The file; - reads standard input")->required();
    command->add_option("--format", options->format, "tsv or jsonl (default: by extension, else by the first line)")
        ->type_name("FORMAT")
        ->transform(
            choice(std::map<std::string, RecordFormat>{{"tsv", RecordFormat::tsv}, {"jsonl", RecordFormat::jsonl}}));
    command
        ->add_option("--resume", options->resume,
                     "Note in this file how far the import has come, and go on from there when it exists")
        ->type_name("STATE_FILE");
    when_chosen(command, context, [&context, options] { return import_records(context.globals, *options); });
}

}  // namespace loyal::cli
