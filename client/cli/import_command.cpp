// import: records into the store. A file is read and checked once as a whole before its first record is sent, so that a
// bad line is found while nothing has happened yet. A pipe is sent as it comes; at a bad line it ends, and the error
// says how many records before it were imported.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "client/cli/record_format.h"
#include "client/cli/write_pipeline.h"
#include "config/files.h"

namespace loyal::cli {

namespace {

constexpr std::uint64_t import_timeout_ms = 30'000;  // of one record; long enough for several changes of primary

struct ImportOptions {
    std::string path;
    std::optional<RecordFormat> format;
};

struct Input {
    FileHandle file;
    int descriptor = STDIN_FILENO;
    std::string name = "standard input";
    std::optional<std::uint64_t> records;  // of a file: all of them were checked
    std::optional<RecordFormat> format;
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
    if (!record) {
        return tl::unexpected<Failure>(at_line(record.error(), input.name, lines.number()));
    }
    return std::optional<Record>(std::move(*record));
}

// Reads a whole file, counts its records and goes back to where it began.
Answer<void> check_all(Input& input) {
    const off_t begin = ::lseek(input.descriptor, 0, SEEK_CUR);
    LineReader lines(input.descriptor);
    std::uint64_t records = 0;
    for (;;) {
        const Answer<std::optional<Record>> record = next_record(lines, input);
        if (!record) {
            Failure failure = record.error();
            failure.message += "; nothing was sent";
            return tl::unexpected<Failure>(std::move(failure));
        }
        if (!*record) {
            break;
        }
        ++records;
    }
    if (begin < 0 || ::lseek(input.descriptor, begin, SEEK_SET) < 0) {
        return refuse(Exit::internal, "io", fmt::format("{}: {}", input.name, std::strerror(errno)));
    }
    input.records = records;
    return {};
}

Answer<Input> open_input(const ImportOptions& options) {
    Input input;
    input.format = options.format;
    if (options.path != "-") {
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
        if (const Answer<void> checked = check_all(input); !checked) {
            return tl::unexpected<Failure>(checked.error());
        }
    }
    return input;
}

std::string progress_text(std::uint64_t done, std::optional<std::uint64_t> all, double seconds) {
    const double rate = seconds > 0.0 ? static_cast<double>(done) / seconds : 0.0;
    if (!all) {
        return fmt::format("{} records, {:.0f}/s", done, rate);
    }
    return fmt::format("{}  {} of {} records, {:.0f}/s",
                       ProgressLine::bar(static_cast<double>(done) / static_cast<double>(*all)), done, *all, rate);
}

struct Sent {
    PipelineSummary summary;
    std::optional<Failure> bad_line;
    double seconds = 0.0;
};

Sent send_all(Input& input, client::Client& client) {
    Sent sent;
    WritePipeline pipeline(client);
    LineReader lines(input.descriptor);
    ProgressLine progress;
    const auto begin = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    for (;;) {
        Answer<std::optional<Record>> record = next_record(lines, input);
        if (!record) {
            sent.bad_line = record.error();
            break;
        }
        if (!*record ||
            !pipeline.submit(kvstore::Put{std::move((*record)->key), std::move((*record)->value)}, lines.number())) {
            break;
        }
        if (progress.due()) {
            progress.show(progress_text(pipeline.answered(), input.records, elapsed()));
        }
    }
    sent.summary = pipeline.finish();
    sent.seconds = elapsed();
    return sent;
}

Answer<Exit> import_records(const Globals& globals, const ImportOptions& options) {
    Answer<Input> input = open_input(options);
    if (!input) {
        return tl::unexpected<Failure>(std::move(input.error()));
    }
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "default", .timeout_ms = import_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Sent sent = send_all(*input, *connection->client);
    const PipelineSummary& summary = sent.summary;
    if (summary.failure) {
        Failure failure = *summary.failure;
        failure.message = fmt::format(
            "{} records were imported, {} may have been; the first that failed is line {}: {} "
            "The same import may simply be run again.",
            summary.done, summary.unknown, summary.failed_tag, failure.message);
        return tl::unexpected<Failure>(std::move(failure));
    }
    if (sent.bad_line) {
        Failure failure = *sent.bad_line;
        failure.message += fmt::format("; the {} records before it were imported, nothing after it", summary.done);
        return tl::unexpected<Failure>(std::move(failure));
    }
    if (input->records && *input->records != summary.done) {
        return refuse_input(fmt::format("{} changed while it was read: {} of {} records were imported", input->name,
                                        summary.done, *input->records));
    }
    const double rate = sent.seconds > 0.0 ? static_cast<double>(summary.done) / sent.seconds : 0.0;
    if (globals.format == OutputFormat::json) {
        print_json(
            nlohmann::ordered_json{{"records", summary.done}, {"seconds", sent.seconds}, {"records_per_s", rate}});
    } else {
        print(fmt::format("{} records imported in {:.2f} s, {:.0f} per second\n", summary.done, sent.seconds, rate));
    }
    return Exit::done;
}

}  // namespace

void add_import_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<ImportOptions>();
    CLI::App* command = add_command(app, "import", "Put every record of a TSV or JSON-lines file",
                                    "loyal import packages.tsv\n  dpkg-query -W | loyal import -");
    command->add_option("file", options->path, "The file; - reads standard input")->required();
    command->add_option("--format", options->format, "tsv or jsonl (default: by extension, else by the first line)")
        ->type_name("FORMAT")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, RecordFormat>{{"tsv", RecordFormat::tsv}, {"jsonl", RecordFormat::jsonl}}));
    when_chosen(command, context, [&context, options] { return import_records(context.globals, *options); });
}

}  // namespace loyal::cli
