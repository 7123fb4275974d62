// export: every key (of a prefix) in key order, as import reads it, to standard output or into a file, where an export
// that was cut short can go on (client/cli/export_file.h).
#include <chrono>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/choice.h"
#include "client/cli/command.h"
#include "client/cli/export_file.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/cli/record_format.h"
#include "client/cli/transfer_progress.h"

namespace loyal::cli {

namespace {

constexpr std::uint64_t page_timeout_ms = 30'000;  // an export that ends half way is worth little

struct ExportOptions {
    std::string path;  // empty: standard output
    bool resume = false;
    std::string prefix;
    std::optional<RecordFormat> format;
    TextForm form = TextForm::plain;  // of the prefix
};

// Where the records go.
class Sink {
 public:
    [[nodiscard]] static Answer<Sink> open(const ExportOptions& options, RecordFormat format, const Bytes& prefix) {
        Sink sink;
        if (options.path.empty()) {
            return sink;
        }
        Answer<ExportFile> file =
            options.resume ? ExportFile::resume(options.path, format, prefix) : ExportFile::create(options.path);
        if (!file) {
            return tl::unexpected<Failure>(std::move(file.error()));
        }
        sink.file_.emplace(std::move(*file));
        return sink;
    }

    [[nodiscard]] Answer<void> append(const std::string& text) {
        if (file_) {
            return file_->append(text);
        }
        print(text);
        return finish_output();
    }
    [[nodiscard]] Answer<void> sync() { return file_ ? file_->sync() : Answer<void>(); }
    [[nodiscard]] std::uint64_t records_before() const { return file_ ? file_->records_before() : 0; }
    [[nodiscard]] std::optional<Bytes> last_key() const { return file_ ? file_->last_key() : std::nullopt; }
    [[nodiscard]] bool is_file() const { return file_.has_value(); }

 private:
    std::optional<ExportFile> file_;
};

struct Exported {
    std::uint64_t records = 0;  // of this run
    std::uint64_t bytes = 0;
    std::optional<kvstore::Revision> first;
    kvstore::Revision last;
};

// Page after page, to the end of the range or to what stops it.
class Exporter {
 public:
    Exporter(client::Client& client, Sink& sink, RecordFormat format) : client_(client), sink_(sink), format_(format) {
        if (sink_.is_file()) {  // standard output ends with the program, as of any filter
            stop_ = &catch_interrupt(SecondInterrupt::ends_program);
        } else if (output_is_terminal()) {
            progress_.hide();
        }
    }

    [[nodiscard]] Answer<Exported> run(kvstore::Range range) {
        count(range);
        Exported exported;
        for (bool more = true; more;) {
            const client::ReadResult page = client_.read_sync(range);
            if (const Answer<void> answer = stop_ != nullptr && *stop_ ? interrupted() : judge(page); !answer) {
                return incomplete(answer.error(), exported);
            }
            if (const Answer<void> written = take(page, exported); !written) {
                return incomplete(written.error(), exported);
            }
            more = page.range.more && !page.range.items.empty();
            if (more) {
                range.begin = page.range.items.back().key;
                range.begin.push_back(0);
            }
            if (progress_.due()) {
                progress_.show(transfer_text(progress_of(exported)));
            }
        }
        if (const Answer<void> synced = sink_.sync(); !synced) {
            return incomplete(synced.error(), exported);
        }
        return exported;
    }

 private:
    // How many there are to come, for the bar; only where somebody sees it, for it costs the replicas a look at every
    // key.
    void count(kvstore::Range range) {
        if (!progress_.visible()) {
            return;
        }
        range.count_only = true;
        const client::ReadResult counted = client_.read_sync(range);
        if (counted.ok && !counted.range.more) {
            all_ = sink_.records_before() + counted.range.count;
        }
    }

    [[nodiscard]] Answer<void> take(const client::ReadResult& page, Exported& exported) {
        std::string text;
        for (const kvstore::Item& item : page.range.items) {
            text += write_record(item.key, item.value, format_);
            text += '\n';
        }
        exported.first = exported.first.value_or(page.revision);
        exported.last = page.revision;
        if (const Answer<void> written = sink_.append(text); !written) {
            return written;
        }
        exported.records += page.range.items.size();
        exported.bytes += text.size();
        return {};
    }

    [[nodiscard]] static Answer<void> interrupted() {
        return refuse(Exit::negative, "interrupted", "it was interrupted");
    }

    [[nodiscard]] tl::unexpected<Failure> incomplete(Failure failure, const Exported& exported) {
        progress_.clear();
        if (sink_.is_file()) {
            (void)sink_.sync();  // what is there is worth keeping
        }
        failure.message = fmt::format("the export is incomplete, it ends after {} records: {}{}",
                                      sink_.records_before() + exported.records, failure.message,
                                      sink_.is_file() ? "; the same command with --resume continues it" : "");
        return tl::unexpected<Failure>(std::move(failure));
    }

    [[nodiscard]] TransferProgress progress_of(const Exported& exported) const {
        TransferProgress now;
        now.records = exported.records;
        now.bytes = exported.bytes;
        now.done = sink_.records_before() + exported.records;
        now.done_before = sink_.records_before();
        now.all = all_;
        now.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
        return now;
    }

    client::Client& client_;
    Sink& sink_;
    RecordFormat format_;
    const std::atomic<bool>* stop_ = nullptr;
    std::optional<std::uint64_t> all_;
    ProgressLine progress_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

void note_moments(const Exported& exported, std::uint64_t records_before) {
    if (records_before > 0) {
        print_error(
            fmt::format("note: the first {} records are of an earlier run, so this is no snapshot of one moment\n",
                        records_before));
    } else if (exported.first && *exported.first != exported.last) {
        print_error(fmt::format(
            "note: other writes came in between (revisions {} to {}), so this is no snapshot of one moment\n",
            exported.first->value, exported.last.value));
    }
}

Answer<Exit> export_records(const Globals& globals, const ExportOptions& options) {
    if (options.resume && options.path.empty()) {
        return refuse_input("--resume goes with the name of the file to continue");
    }
    const Answer<Bytes> prefix = decode_text(options.prefix, options.form, "prefix");
    if (!prefix) {
        return tl::unexpected<Failure>(prefix.error());
    }
    const RecordFormat format = options.format.value_or(detect_format(options.path, ""));
    // Signing in can fail, and then there should be no file.
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "default", .timeout_ms = page_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    Answer<Sink> sink = Sink::open(options, format, *prefix);
    if (!sink) {
        return tl::unexpected<Failure>(std::move(sink.error()));
    }
    kvstore::Range range;
    range.begin = *prefix;
    range.end = end_of_prefix(*prefix);
    if (const std::optional<Bytes> last = sink->last_key()) {
        range.begin = *last;
        range.begin.push_back(0);
    }
    const Answer<Exported> exported = Exporter(*connection->client, *sink, format).run(range);
    if (!exported) {
        return tl::unexpected<Failure>(exported.error());
    }
    note_moments(*exported, sink->records_before());
    if (sink->is_file() && globals.format == OutputFormat::json) {
        print_json(nlohmann::ordered_json{{"file", options.path},
                                          {"records", sink->records_before() + exported->records},
                                          {"records_before", sink->records_before()}});
    } else if (sink->is_file()) {
        print(fmt::format("{}: {} records{}\n", options.path, sink->records_before() + exported->records,
                          sink->records_before() == 0 ? "" : fmt::format(", {} of them new", exported->records)));
    }
    return Exit::done;
}

}  // namespace

void add_export_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<ExportOptions>();
    CLI::App* command = add_command(app, "export", "Print every key and value in key order, as import reads them",
                                    "loyal export > all.tsv\n  loyal export --prefix users/ --format jsonl\n"
                                    "  loyal export all.jsonl\n  loyal export all.jsonl --resume");
    command->add_option("file", options->path, "A new file (default: standard output)");
    command->add_flag("--resume", options->resume, "Go on behind the last complete record of the file");
    command->add_option("--prefix", options->prefix, "Only keys that begin with this");
    command->add_option("--format", options->format, "tsv or jsonl (default: by extension, else tsv)")
        ->type_name("FORMAT")
        ->transform(
            choice(std::map<std::string, RecordFormat>{{"tsv", RecordFormat::tsv}, {"jsonl", RecordFormat::jsonl}}));
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options] { return export_records(context.globals, *options); });
}

}  // namespace loyal::cli
